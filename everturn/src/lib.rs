//! everturn-everturn
