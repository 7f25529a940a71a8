"""The base that every stage stands on; it imports none of them."""
