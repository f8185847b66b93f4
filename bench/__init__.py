"""`make bench`: what tailchain costs, compared with a bare program, a hand-written client, and its peers."""
