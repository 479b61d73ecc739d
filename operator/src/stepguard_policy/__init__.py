"""The policy language, pure: typed resources and the compiler from them to a snapshot."""
