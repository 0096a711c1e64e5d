"""The only code of ours that enters a user's interpreter: standard library only, Python 3.9 and later."""
