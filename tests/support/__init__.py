"""What the black-box tests stand on: see the module names."""
