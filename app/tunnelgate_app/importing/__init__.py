"""Makes a configuration of a file of Anthropic's proxy, and of what the servers behind it say."""
