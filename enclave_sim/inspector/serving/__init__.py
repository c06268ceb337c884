"""The inspector outside a terminal: in a browser, and as screenshots."""
