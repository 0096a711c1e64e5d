"""Searches: from a filter's tree to rows, in order, page by page; and what is shown of them."""
