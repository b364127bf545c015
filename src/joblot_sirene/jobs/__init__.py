"""Job files, profiles, and the request for a dataset that is made from them."""
