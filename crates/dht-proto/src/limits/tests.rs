//! Rules of the module above.
