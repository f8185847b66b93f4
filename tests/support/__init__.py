"""The code that the black-box tests share; the module names tell what."""
