"""Everything a person needs to see of an incident, in one file: collected, cleaned of credentials,
bounded, proven complete."""
