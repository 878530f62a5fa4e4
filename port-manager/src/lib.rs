//! everturn-port-manager
