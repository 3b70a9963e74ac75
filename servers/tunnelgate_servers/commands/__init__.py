"""What `tunnelgate-servers` does, a module for each command that is more than a line."""
