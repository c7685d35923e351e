//! Jobs run when they should.
