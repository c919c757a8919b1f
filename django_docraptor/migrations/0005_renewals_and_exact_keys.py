"""Reads from the primary; a count of renewals; keys that differ by case or accent are two keys."""

from django.db import migrations, models

KEY = "ALTER TABLE django_docraptor_renderjob MODIFY idempotency_key varchar(200) {} NULL"


def compare_exactly(apps, schema_editor):
    """MariaDB and MySQL would else take ``link-aB`` for ``link-Ab``: another one's document."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    if connection.mysql_is_mariadb:
        collation = "utf8mb4_nopad_bin"
    else:
        collation = "utf8mb4_0900_bin" if connection.mysql_version >= (8, 0, 17) else "utf8mb4_bin"
    schema_editor.execute(KEY.format(f"CHARACTER SET utf8mb4 COLLATE {collation}"))


class Migration(migrations.Migration):
    dependencies = [
        ("django_docraptor", "0004_discardedfile_and_document_index"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="account",
            options={
                "base_manager_name": "objects",
                "verbose_name": "account",
                "verbose_name_plural": "accounts",
            },
        ),
        migrations.AlterModelOptions(
            name="discardedfile",
            options={
                "base_manager_name": "objects",
                "verbose_name": "discarded file",
                "verbose_name_plural": "discarded files",
            },
        ),
        migrations.AlterModelOptions(
            name="pulse",
            options={
                "base_manager_name": "objects",
                "verbose_name": "pulse",
                "verbose_name_plural": "pulse",
            },
        ),
        migrations.AlterModelOptions(
            name="renderevent",
            options={
                "base_manager_name": "objects",
                "ordering": ["id"],
                "verbose_name": "event",
                "verbose_name_plural": "events",
            },
        ),
        migrations.AlterModelOptions(
            name="renderinput",
            options={
                "base_manager_name": "objects",
                "verbose_name": "stored input",
                "verbose_name_plural": "stored inputs",
            },
        ),
        migrations.AlterModelOptions(
            name="renderjob",
            options={
                "base_manager_name": "objects",
                "get_latest_by": "created_at",
                "permissions": [
                    ("retry_renderjob", "Can retry a render job"),
                    ("cancel_renderjob", "Can cancel a render job"),
                    ("expire_renderjob", "Can end a hosted document"),
                ],
                "verbose_name": "render job",
                "verbose_name_plural": "render jobs",
            },
        ),
        migrations.AddField(
            model_name="renderinput",
            name="renewals",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="renderjob",
            name="renewals",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.RunPython(compare_exactly, migrations.RunPython.noop, atomic=False),
    ]
