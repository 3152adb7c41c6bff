"""The two addresses of the project."""

from django.urls import path

from examples.django_project.feed import views

urlpatterns = [path("send", views.send), path("latest", views.latest)]
