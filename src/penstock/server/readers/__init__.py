"""Processes beside the server that answer long questions to the metadata store, so that writes never wait for one."""
