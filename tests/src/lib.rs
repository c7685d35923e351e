//! Harness for the journeys.
