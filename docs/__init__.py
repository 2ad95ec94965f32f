"""Pages for users, and the code that draws their pictures."""
