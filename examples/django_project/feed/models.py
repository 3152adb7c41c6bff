"""What the WebSocket brings."""

from django.db import models


class News(models.Model):
    text = models.TextField()
    came = models.DateTimeField(auto_now_add=True)
