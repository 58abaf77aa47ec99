"""What a curve shows without a model of blood flow."""
