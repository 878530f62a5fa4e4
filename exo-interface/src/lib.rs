//! everturn-exo-interface
