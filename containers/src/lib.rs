//! everturn-containers
