"""The user's avatars: portraits with names, face marks and licence notes."""
