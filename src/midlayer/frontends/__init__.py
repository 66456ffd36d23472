"""Front ends: what people and programs talk to. asyncio lives here, and nowhere below."""
