//! What every sidecar needs and none owns.
