"""The configuration's home: tables, transactions that each make one revision, and what they publish."""
