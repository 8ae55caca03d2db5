"""Drawing: charts in words and numbers, their colours, images by Matplotlib, sketches without it."""
