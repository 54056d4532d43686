//! Is the answer right, and does nothing hurt the server?
