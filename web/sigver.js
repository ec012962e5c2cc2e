// placeholder, to be overwritten by its author
