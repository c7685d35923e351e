//! Stage 4: a record becomes a hit, or the reason why not. Touches no file, no network and no clock, and cannot fail.
