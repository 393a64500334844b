"""Talking to the API: one client interface over two transports, informers, work queues, controllers, leader election."""
