"""Consumer groups as tests see them: members in processes of their own, and who judges them."""
