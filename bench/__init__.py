"""`make bench`: what tailchain costs, beside a bare program, a client written by hand, and its peers."""
