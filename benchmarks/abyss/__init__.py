"""A thousand plain layers and ten thousand: what fails, what does not, and what headwater finds by itself."""
