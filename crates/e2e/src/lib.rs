//! End-to-end tests: everything is in `tests/it`, one test binary that drives the real `towpath`.
//! It must never link the product: what it knows of it is the command line and the socket.
