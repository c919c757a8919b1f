import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_invoice_pdf")]

    operations = [
        migrations.CreateModel(
            name="DayReport",
            fields=[("day", models.DateField(primary_key=True, serialize=False))],
        ),
        migrations.CreateModel(
            name="OverdueInvoice",
            fields=[],
            options={"proxy": True, "indexes": [], "constraints": []},
            bases=("shop.invoice",),
        ),
        migrations.CreateModel(
            name="ShopDayReport",
            fields=[
                (
                    "dayreport_ptr",
                    models.OneToOneField(
                        auto_created=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        parent_link=True,
                        primary_key=True,
                        serialize=False,
                        to="shop.dayreport",
                    ),
                ),
                ("shop", models.CharField(max_length=20)),
            ],
            bases=("shop.dayreport",),
        ),
    ]
