"""`ragserve chaos`: what each fault costs a local service under load, and whether anything is lost."""
