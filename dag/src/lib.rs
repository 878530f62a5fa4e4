//! everturn-dag
