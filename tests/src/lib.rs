//! everturn-tests
