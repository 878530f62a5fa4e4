//! everturn-hypervisor
