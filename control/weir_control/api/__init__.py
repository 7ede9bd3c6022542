"""What every resource of the management API shares: envelopes, errors, bodies, authentication."""
