"""The requests: they ask the upstream server, or read what it has pushed."""

import json
import os

from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from examples.django_project.feed.models import News
from examples.django_project.feed.upstream import FeedError, feed


@csrf_exempt  # it is called by programs, not by forms
@require_POST
def send(request):
    try:
        answer = feed().send(json.loads(request.body)["id"])
    except FeedError as error:
        return JsonResponse({"error": str(error)}, status=503)
    return JsonResponse({"ack": answer["ack"], "pid": os.getpid()})


@require_GET
def latest(request):
    feed()  # makes the connection, if this is the first request of this process
    news = News.objects.order_by("-id").first()
    return JsonResponse({"latest": news and news.text, "pid": os.getpid()})
