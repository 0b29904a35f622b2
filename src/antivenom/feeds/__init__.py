"""Reading feeds where there may be no server, and building an advisory file of them."""
