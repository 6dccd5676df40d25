"""How a trained model runs over whole images, back to the grid they came in."""
