//! The sealed-config format.
