"""How alembic reaches the store: through the connection that the opener hands over."""

from alembic import context

from bayestwin.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
