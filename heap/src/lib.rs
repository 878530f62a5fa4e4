//! everturn-heap
