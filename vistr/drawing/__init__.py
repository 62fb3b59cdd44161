"""Pictures: frames with the masks drawn over them, galleries, and the page that plays a result."""
