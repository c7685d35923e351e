//! The files by which operators deploy the sidecars, for tests that hold them against what the programs read.
//!
//! ```text
//! reference.rs    what each sidecar reads            the truth
//! compose.rs      the compose files                  what is passed to it
//! template.rs     Rancher's template, filled in      the same, by the answers
//! form.rs         Rancher's form                     what is asked
//! kubernetes.rs   manifests made of the compose file
//! ```

pub mod compose;
pub mod form;
pub mod kubernetes;
pub mod reference;
pub mod template;
