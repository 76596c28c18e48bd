"""`ragserve eval answers`: whether answers are right, cited, supported, and declined where they should be."""
